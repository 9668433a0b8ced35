"""Data: where examples come from (``sources``), who gets them (``partition``), what is held out (``split``).

Other files help ``sources``: ``readers`` and ``hub`` open one kind of source each, ``names`` finds the
columns, ``rows`` draws rows, and ``values`` and ``images`` turn what columns hold into texts, labels, pixels.
"""
