"""The build and the tools around it."""
import os
import shutil
import subprocess

import pytest

from conftest import BUILD, ROOT
from guests import vm

TOOLS = os.path.join(ROOT, "tools")
SOURCES = ["Makefile", "lib", "config", "arch", "core", "emul", "vmx", "svm", "devices", "guest", "boot", "efi", "tools"]


def run(*command, code=0, **keys):
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, **keys)
    assert result.returncode == code, result.stdout
    return result.stdout


@pytest.mark.weight(2)
def test_build_is_reproducible(tmp_path):
    """Two builds in folders of different names, under different clocks' dates, are the same bytes."""
    built = []
    for name in ("one", "another-folder"):
        folder = tmp_path / name
        folder.mkdir()
        for source in SOURCES:
            path = os.path.join(ROOT, source)
            (shutil.copytree if os.path.isdir(path) else shutil.copy)(path, folder / source)
        run("make", "efi", cwd=folder, env=dict(os.environ, MAKEFLAGS=""))
        built.append((folder / "build" / "socle.efi").read_bytes())
    assert built[0] == built[1]
    with open(os.path.join(BUILD, "socle.efi"), "rb") as f:
        assert built[0] == f.read()


@pytest.fixture
def content(tmp_path):
    (tmp_path / "socle.cfg").write_text(vm("A Long Name.bin"))
    (tmp_path / "A Long Name.bin").write_bytes(bytes(range(256)) * 999)
    (tmp_path / "deep" / "er").mkdir(parents=True)
    (tmp_path / "deep" / "er" / "file").write_text("found")
    return tmp_path


def make_image(folder, name="disk.img", *files, code=0, efi=os.path.join(BUILD, "socle.efi")):
    return run(os.path.join(TOOLS, "mkimg.sh"), "-o", str(folder / name), "-c", str(folder / "socle.cfg"), "--efi", efi,
               *(str(folder / f) for f in files), code=code)


@pytest.mark.quick
def test_image(content):
    files = ("A Long Name.bin", "deep")
    make_image(content, "disk.img", *files)
    make_image(content, "again.img", *files)
    image = (content / "disk.img").read_bytes()
    assert image == (content / "again.img").read_bytes()
    assert "No problems found" in run("/sbin/sgdisk", "-v", str(content / "disk.img"))
    assert "EF00" in run("/sbin/sgdisk", "-p", str(content / "disk.img"))
    # FAT32 it must be: the file system itself, checked by another program than the one that made it.
    (content / "volume").write_bytes(image[1 << 20:-1 << 20])
    assert image[(1 << 20) + 82:(1 << 20) + 90] == b"FAT32   "
    run("/sbin/fsck.fat", "-n", str(content / "volume"))
    volume = f"{content / 'disk.img'}@@1M"
    env = dict(os.environ, MTOOLS_SKIP_CHECK="1")
    for path, source in (("EFI/BOOT/BOOTX64.EFI", os.path.join(BUILD, "socle.efi")),
                         ("socle.cfg", content / "socle.cfg"), ("A Long Name.bin", content / "A Long Name.bin"),
                         ("deep/er/file", content / "deep" / "er" / "file")):
        got = subprocess.run(["mtype", "-i", volume, f"::/{path}"], env=env, capture_output=True, check=True).stdout
        with open(source, "rb") as f:
            assert got == f.read(), path


@pytest.mark.quick
def test_image_grows_with_its_content(content):
    (content / "big").write_bytes(b"\1" * (90 << 20))
    make_image(content, "disk.img", "big")
    assert 90 << 20 < os.path.getsize(content / "disk.img") < 110 << 20


@pytest.mark.quick
def test_image_errors(content):
    assert "nothere: no such file" in make_image(content, "disk.img", "nothere", code=1)
    assert "already has a file" in make_image(content, "disk.img", "socle.cfg", code=1)
    assert "run make" in make_image(content, "disk.img", code=1, efi="/nothere.efi")
    assert not os.path.exists(content / "disk.img")


@pytest.mark.quick
def test_run_errors(content):
    make_image(content)
    script, image = os.path.join(TOOLS, "run.sh"), str(content / "disk.img")
    assert "no such file" in run(script, "/nothere.img", code=2)
    assert "cpu directive malformed" in run(script, "--accel", "bochs", "--model", "no_such", image, code=2)
    assert "unable to find CPU model" in run(script, "--accel", "tcg", "--model", "no_such", image, code=1)


@pytest.mark.quick
def test_run_times_out(content):
    make_image(content)
    run(os.path.join(TOOLS, "run.sh"), "--accel", "tcg", "--timeout", "1", str(content / "disk.img"), code=124)


@pytest.mark.quick
def test_run_reads_behind_an_erased_prompt(monkeypatch):
    """A message that comes while the monitor's prompt is shown counts like any other."""
    monkeypatch.syspath_prepend(TOOLS)
    watch = __import__("run").Watch()
    watch.feed(b"socle> stop a\r\nsocle> \r\x1b[Ksocle: error: vm a: odd\r\n")
    assert watch.error and not watch.ended
    watch.feed(b"socle> \r\x1b[Ksocle: all guests ended\r\n")
    assert watch.ended


@pytest.mark.quick
def test_initrd_is_reproducible(tmp_path):
    run(os.path.join(TOOLS, "mkguest.sh"), "-o", str(tmp_path))
    for name in ("vmlinuz", "initrd.gz"):
        with open(os.path.join(BUILD, "guest", name), "rb") as f:
            assert f.read() == (tmp_path / name).read_bytes()


@pytest.mark.quick
@pytest.mark.parametrize("name", ["sample", "flat", "two"])
def test_samples_are_right(name):
    path = os.path.join(ROOT, "config", "samples", name + ".cfg")
    run(os.path.join(BUILD, "socle-config"), "check", path, "--cpus", "2", "--memory", "1024")


@pytest.mark.quick
def test_checker_finds_errors(tmp_path):
    (tmp_path / "bad.cfg").write_text(vm("k", memory="3") + vm("k", memory="2G", vcpus=9))
    said = run(os.path.join(BUILD, "socle-config"), "check", str(tmp_path / "bad.cfg"), "--cpus", "2", code=1)
    assert f"socle: error: {tmp_path / 'bad.cfg'}:2:10: " in said
    assert f"socle: error: {tmp_path / 'bad.cfg'}:5:5: " in said  # the second VM has the first one's name
