"""Initialisers and non-learned growths, one per file; add one by adding a file and a line here."""

from fedgrow.growth.initialisers.aki import AKI
from fedgrow.growth.initialisers.base import Initialiser, Start
from fedgrow.growth.initialisers.exact import Exact
from fedgrow.growth.initialisers.fpi import FPI
from fedgrow.growth.initialisers.interpolate import Interpolate
from fedgrow.growth.initialisers.lemon import Lemon
from fedgrow.growth.initialisers.net2net import Net2Net
from fedgrow.growth.initialisers.stack import Stack
from fedgrow.growth.initialisers.xavier import Xavier
from fedgrow.growth.initialisers.zero_block import ZeroBlock

INITIALISERS: dict[str, Initialiser] = {
    method.name: method
    for method in (Exact(), ZeroBlock(), Lemon(), Net2Net(), FPI(), AKI(), Stack(), Interpolate(), Xavier())
}

__all__ = ["INITIALISERS", "Initialiser", "Start"]
