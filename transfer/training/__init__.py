"""An adapter that learns from a manifest. Read `train` first."""
