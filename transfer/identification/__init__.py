"""Teaching the head that says which language is spoken."""
