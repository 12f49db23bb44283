"""What an adapter may learn beside writing letters, to hear better; none of it is published."""
