"""Studies: several recipes x several seeds, compared. ``definition`` says what, ``folder`` keeps how far it came."""
