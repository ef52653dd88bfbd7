"""What things are: frozen structs, enums, the transition table. No I/O."""
