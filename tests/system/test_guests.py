"""Formats of kernels, and what test programs end with."""
import pytest

from guests import vm

DEBUG = dict(debug_exit="0xf4", debug_console="0xe9")


@pytest.mark.quick
def test_debug_ports(boot, accel):
    m = boot(vm("debug16.bin", kind="flat16", **DEBUG), ["debug16.bin"], accel)
    m.finish()
    lines = m.lines()
    assert lines.index("debug16: hello") < lines.index("socle: vm a: exited 300")
    assert "socle: vm a: shut down" not in lines
    assert "socle: all guests ended" in lines


def test_debug_port_taken(boot, accel):
    m = boot(vm("debug16.bin", kind="flat16", debug_exit="0x3f8"), ["debug16.bin"], accel)
    m.finish(1)
    assert any(":6:14: vm a: debug_exit = 0x3f8 to 0x3fb: COM1 has a port there" in e for e in m.errors())
