"""Figures as matplotlib objects, and their two forms: a PNG file on white, and SVG text that follows the page's theme.

Colours are Okabe and Ito's (2008), which stay apart for every common form of colour blindness; blue is what went
right, vermilion what went wrong. No pyplot: nothing here has state.
"""
