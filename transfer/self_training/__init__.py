"""A language taught by what its own adapter hears in audio without transcripts. See `rounds`."""
