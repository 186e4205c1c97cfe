"""Figures and pages for people to look at; uses no tensors.

``pictures.py`` turns labels into colours: painted, laid over the image, compared with the truth, or as thumbnails on a
sheet. ``globe.py`` draws a panorama as a globe. ``charts.py`` draws lines, bars and confusion matrices as inline SVG
(matplotlib). ``page.py`` collects texts, tables (``tables.py``), pictures and charts and renders them by the Jinja
template ``templates/page.html`` into one HTML file; what stands on a page is decided by ``runs`` and ``demo``.
"""
