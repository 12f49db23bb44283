"""The words of a language, and how often they are said, for finals. Read `build` first."""
