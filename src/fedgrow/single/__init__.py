"""One model by itself, without a federation: ``fedgrow.grow`` and ``fedgrow.learn``."""
