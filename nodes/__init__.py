"""What happens in a step: everything that talks to the world."""
