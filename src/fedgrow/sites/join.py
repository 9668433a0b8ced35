"""A site at work: a SuperNode beside it that carries its messages, and this process, which answers them."""

import contextlib
import re
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path
from time import monotonic, sleep

from flwr.app import Message

from fedgrow.config.site import SitePlan
from fedgrow.disk.atomic import make_folder
from fedgrow.disk.lock import Lock
from fedgrow.errors import FedgrowError
from fedgrow.federated.client_app import write_log_at
from fedgrow.sites.certificates import make_key, write_private
from fedgrow.sites.children import Child, free_port, wait_until_listening
from fedgrow.sites.clock import ahead, told
from fedgrow.sites.failure import Failure
from fedgrow.sites.flower import ClientTask, Endpoint, Tasks, Unreadable, supernode_arguments
from fedgrow.sites.limits import Refused
from fedgrow.sites.site import Approve, Site

SUPERNODE = "from flwr.supernode.cli import flower_supernode; flower_supernode()"
UP_WITHIN = 60.0  # seconds for the SuperNode to listen
POLL = 0.2  # seconds between looks for tasks
LINGER = 8.0  # seconds for the SuperNode to carry the last reply away
AFTER_SAVED = (
    900.0  # seconds without a word, once the model is saved, until the site takes it that all is over
)
IDLE = 180.0  # seconds without a task after which the SuperNode is begun anew: it may have lost its way
PARTS_WITHIN = 3600.0  # seconds for a message to be whole: a line may be slow, or nothing be sent on it
AGAIN = 5.0  # seconds until a SuperNode that ended is begun anew: the SuperLink still holds its place

Tell = Callable[[str], None]


class Join:
    """Keeps a site in a federation until that is over.

    Args:
        settings: the site's file.
        approve: asked once for a plan.
        tell: told, in words, of what happens.
        wait: seconds without any task after which it gives up.

    Raises:
        FedgrowError: another process is at work in the site's folder.
    """

    def __init__(self, settings: SitePlan, approve: Approve, tell: Tell, wait: float) -> None:
        self.settings, self.tell, self.wait = settings, tell, wait
        self.folder = Path(settings.folder)
        make_folder(self.folder, "folder")
        self.lock = Lock(self.folder)  # before anything is written
        self.key = self.folder / "private" / "key"
        self.public_key = make_key(self.key)
        self.secret = self.folder / "private" / "secret"
        write_private(self.secret, secrets.token_hex(32).encode())
        self.site = Site(settings, approve)

    def carry_out(self) -> None:
        """Answer until the federation is over.

        Raises:
            Refused: the site does not take part, or no longer.
            FedgrowError: no task came for as long as it waits.
        """
        with self.lock:
            if self.site.saved:
                self.tell(f"the model is there already; this ends after {AFTER_SAVED:.0f} s without a word")
            self._carry_out()

    def _carry_out(self) -> None:
        heard = monotonic()
        while not self._over(heard):
            with self._supernode() as (child, place):
                tasks = Tasks(place, server=False)
                began, idle = monotonic(), False
                try:
                    while child.running() and not self._over(heard):
                        try:
                            token = tasks.next()
                        except Failure:
                            break  # the SuperNode is on its way out
                        if token is not None:
                            self._carry(place, tasks, token)
                            heard = began = monotonic()
                            if self.site.refused is not None:
                                sleep(LINGER)
                                raise self.site.refused
                        elif monotonic() - began > IDLE:
                            idle = True
                            break
                        else:
                            sleep(POLL)
                    if self.site.ended:
                        sleep(LINGER)
                finally:
                    tasks.close()
            if not self._over(heard):
                self._say_why(child, idle=idle)
                sleep(AGAIN)

    def _over(self, heard: float) -> bool:
        quiet = monotonic() - heard
        if quiet > self.wait and not self.site.saved:
            raise FedgrowError(
                f"nothing was heard from {self.settings.coordinator} for {self.wait:.0f} s; ask the coordinator whether "
                f"this key is registered, then join again: {self.public_key}"
            )
        return self.site.ended or (self.site.saved and quiet > AFTER_SAVED)

    @contextlib.contextmanager
    def _supernode(self) -> Iterator[tuple[Child, Endpoint]]:
        """Have a SuperNode, and a way to take its tasks; one that cannot listen is tried again by the caller."""
        port = free_port()
        certificate = Path(self.settings.certificate)
        arguments = supernode_arguments(self.settings.coordinator, certificate, self.key, port, self.secret)
        private = self.folder / "private"
        child = Child(SUPERNODE, arguments, private / "flower", private / "supernode.log")
        place = Endpoint(f"127.0.0.1:{port}", None, self.secret.read_bytes())
        try:
            with contextlib.suppress(FedgrowError):
                wait_until_listening(child, "127.0.0.1", port, UP_WITHIN)
            yield child, place
        finally:
            child.end()

    def _carry(self, place: Endpoint, tasks: Tasks, token: str | None) -> None:
        """Answer a message, and those that come while it turns out not to be whole."""
        while token is not None:
            later: list[str] = []
            end = monotonic() + PARTS_WITHIN

            def given_up(later: list[str] = later, end: float = end) -> bool:
                later += [found for found in [tasks.next()] if found is not None]
                return bool(later) or monotonic() > end

            try:
                self._answer(ClientTask(place, token), given_up)
            except Unreadable as error:
                self.tell(f"not answered: {error}")
                write_log_at(self.folder / "site.log", error)
            except Failure:
                pass  # what goes wrong on the way to the SuperNode is asked for again by the coordinator
            token = later.pop() if later else None

    def _answer(self, task: ClientTask, given_up: Callable[[], bool]) -> None:
        with task.message(given_up) as message:
            if message is not None:
                task.reply(self._reply(message))
            else:
                self.tell("not answered: a message that did not come whole")

    def _reply(self, message: Message) -> Message:
        group = message.metadata.group_id
        round_ = group if re.fullmatch("[0-9]{1,9}", group) else "-"
        self.tell(f"asked: {message.metadata.message_type}, round {round_}")
        reply = self.site.reply(message)
        if reply.has_error():
            self.tell(f"not answered; see {self.folder}/site.log and private/site.log of the experiment")
        return reply

    def _say_why(self, child: Child, *, idle: bool) -> None:
        words = child.last_words(40)
        try:
            clock = told(ahead(self.settings.coordinator, Path(self.settings.certificate)))
        except FedgrowError as error:
            self.tell(f"{error}; trying again")
            return
        if clock is not None:
            self.tell(clock)
        elif "Exit Code: 305" in words or "not registered" in words.lower() or "UNAUTH" in words.upper():
            self.tell(
                f"not admitted (yet): is this key registered at {self.settings.coordinator}?\n  {self.public_key}"
            )
        elif idle:
            self.tell(f"nothing was asked for {IDLE:.0f} s; calling {self.settings.coordinator} anew")
        else:
            self.tell(f"the connection to {self.settings.coordinator} ended; trying again")


__all__ = ["Join", "Refused"]
