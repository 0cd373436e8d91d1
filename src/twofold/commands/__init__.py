"""The commands, one module each: its flags, and a `main` that carries it out."""
