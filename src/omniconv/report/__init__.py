"""Pictures, charts and HTML reports; uses no tensors.

``pictures`` draws label maps in colours, as overlays on the image, as error maps, and thumbnails on a contact sheet.
``globe`` draws a panorama as a globe. ``charts`` draws lines, bars and confusion matrices as inline SVG (matplotlib).
``page`` collects texts, tables (``tables``), pictures and charts and renders them by the Jinja template
``templates/page.html`` into one HTML file; ``runs``, ``tasks`` and ``demo`` decide on the contents of a page.
"""
