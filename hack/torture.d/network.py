"""A wire between a replica and the API server that can be cut, held silent, or closed."""
import asyncio
import socket
import struct
import threading


class Wire:
    """Listens on a free port of loopback, .port; passes on what comes until told otherwise."""

    def __init__(self, target):
        self.target = target
        self.pairs = set()
        self.open, self.flows = True, None
        self.loop = asyncio.new_event_loop()
        started = threading.Event()
        self.thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self.thread.start()
        started.wait()

    def _run(self, started):
        asyncio.set_event_loop(self.loop)
        self.flows = asyncio.Event()
        self.flows.set()
        server = self.loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        self.loop.run_forever()

    async def _serve(self, reader, writer):
        if not self.open:
            return reset(writer)
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            return reset(writer)
        pair = (writer, far_writer)
        self.pairs.add(pair)
        try:
            await asyncio.gather(self._pass(reader, far_writer), self._pass(far_reader, writer))
        finally:
            self.pairs.discard(pair)

    async def _pass(self, reader, writer):
        try:
            while data := await reader.read(65536):
                await self.flows.wait()
                writer.write(data)
                await writer.drain()
            writer.close()
        except (OSError, asyncio.CancelledError):
            reset(writer)

    def _do(self, work):
        self.loop.call_soon_threadsafe(work)

    def cut(self):
        """Every connection ends at once, without a word; new ones are taken."""
        self._do(lambda: [reset(end) for pair in list(self.pairs) for end in pair])

    def close(self):
        self.open = False
        self.cut()

    def mute(self):
        """Connections stay, and nothing arrives."""
        self._do(self.flows.clear)

    def heal(self):
        self.open = True
        self._do(self.flows.set)


def reset(writer):
    sock = writer.get_extra_info("socket")
    try:
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except OSError:
        pass
    writer.transport.abort()


class Silent:
    """A server that takes connections and never answers: a webhook that hangs."""

    def __init__(self):
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=512)
        self.port = self.socket.getsockname()[1]
        self.taken = []
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self):
        while True:
            self.taken.append(self.socket.accept()[0])
            if len(self.taken) > 256:
                self.taken.pop(0).close()
