"""Studies: several recipes x several seeds, compared. ``definition`` says what is trained, ``folder`` how far."""
