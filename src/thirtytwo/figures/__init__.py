"""Figures as matplotlib objects, and their two forms: a PNG file on white, and SVG text that follows the page's theme.

The colours are Okabe and Ito's (2008), which remain distinct with every common form of colour blindness; blue is what
is right, vermilion what is wrong. No pyplot: nothing here has state.
"""
