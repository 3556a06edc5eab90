"""One self-contained HTML file about a run, and its figures as PNG files, from the files in the run's folder.

``view`` turns a run folder into plain data, ``figures`` draws its parts, ``html`` writes the page.
"""
