"""What a run is worth, said honestly. Read `evaluate` first."""
