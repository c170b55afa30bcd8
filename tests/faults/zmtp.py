"""Enough of ZMTP 3 (rfc.zeromq.org/spec/23) to be a hostile peer on a plain socket."""
import socket
import struct


def greeting(mechanism=b"NULL"):
    return b"\xff" + bytes(8) + b"\x7f\x03\x00" + mechanism.ljust(20, b"\0") + bytes(32)


def command(name, body=b""):
    data = bytes([len(name)]) + name + body
    return b"\x04" + bytes([len(data)]) + data


def ready(kind=b"DEALER"):
    name = b"Socket-Type"
    return command(b"READY", bytes([len(name)]) + name + struct.pack(">I", len(kind)) + kind)


def frame(body, more=False, size=None):
    """A long frame; `size` may lie."""
    return bytes([2 | more]) + struct.pack(">Q", len(body) if size is None else size) + body


def connect(port):
    peer = socket.create_connection(("127.0.0.1", port), timeout=10)
    peer.settimeout(2)
    return peer


def greet(port, mechanism=b"NULL"):
    """A connection after both greetings; libzmq closes one that does not wait for its own."""
    peer = connect(port)
    got = b""
    try:
        peer.sendall(greeting(mechanism))
        while len(got) < 64:
            piece = peer.recv(64 - len(got))
            if not piece:
                break
            got += piece
    except OSError:
        pass  # the other side may not like this one at all
    return peer


def send(peer, data):
    """False when the other side has closed the connection."""
    try:
        peer.sendall(data)
        return True
    except OSError:
        return False
