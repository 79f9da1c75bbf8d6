"""`gmnm grade`: a class's notebooks, none of them trusted, and the marks that can be."""
