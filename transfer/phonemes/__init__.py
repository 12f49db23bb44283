"""Phonemes: of texts, written by which letters, said how, and shared by which languages."""
