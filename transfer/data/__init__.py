"""Speech and texts of a language, from anywhere, as one manifest. Read `prepare` first."""
