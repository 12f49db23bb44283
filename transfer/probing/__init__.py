"""How well each layer of an encoder already serves a language."""
