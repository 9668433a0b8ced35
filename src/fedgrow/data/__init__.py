"""Data: where examples come from (``sources``), who gets them (``partition``), what is held out (``split``).

Other files help ``sources``: ``readers`` and ``hub`` open one kind of source each, ``forms`` says what a task's
examples are made of, ``names`` finds the columns, ``rows`` draws rows, and ``values``, ``lists``, ``spans`` and
``images`` turn what columns hold into texts and labels, words and tags, answers, pixels.
"""
