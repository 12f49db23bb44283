"""From a candidate to live traffic, and back. Read `publish` first."""
