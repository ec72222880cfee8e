from __future__ import annotations

import os
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from segue.core.errors import MediaError
from segue.media.source import Faults, decode, decoding, open_media, picture_stream, probe
from tests.synthetic_video import write_sound, write_video


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / "film.mp4"
    return write_video(path, [(0.5, "red"), (0.5, "still")], audio="tone")


@pytest.mark.parametrize(
    "name",
    [
        b"a space.mp4",
        b"quote'\".mp4",
        "\N{GRINNING FACE}.mp4".encode(),
        b"colon:x.mp4",
        b"concat:a|b",
        b"http:x.mp4",
        b"new\nline.mp4",
        b"-leading.mp4",
        b"not-utf8-\xff\xfe.mp4",
        b"percent%03d.mp4",
        b"con.mp4",
        b"x" * 251 + b".mp4",
        b"no-suffix",
        b"wrong.txt",
    ],
)
def test_any_name_of_a_real_file_is_opened(film: Path, tmp_path: Path, name: bytes) -> None:
    path = tmp_path / os.fsdecode(name)
    path.write_bytes(film.read_bytes())
    assert probe(path).duration_s == 1


def refuse(path: str | Path, words: str) -> str:
    start = time.perf_counter()
    with pytest.raises(MediaError, match=words) as caught:
        probe(path)
    assert time.perf_counter() - start < 1
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_special_files_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "loop.mp4").symlink_to(tmp_path / "loop.mp4")
    (tmp_path / "empty.mp4").touch()
    refuse(tmp_path / "pipe.mp4", "a pipe or a device")
    refuse("/dev/zero", "a pipe or a device")
    refuse(tmp_path, "a folder")
    refuse(tmp_path / "loop.mp4", "symbolic links")
    refuse(tmp_path / "empty.mp4", "0 bytes")
    refuse(tmp_path / "none.mp4", "no such file")
    refuse(f"{tmp_path}/a\0b.mp4", "cannot be opened")
    refuse(tmp_path / ("x" * 300), "too long")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_no_permission(film: Path, tmp_path: Path) -> None:
    path = tmp_path / "closed.mp4"
    path.write_bytes(film.read_bytes())
    path.chmod(0)
    refuse(path, "no permission")


def test_permission_error_is_told(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def denied(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", denied)
    refuse(film, "no permission")


@pytest.mark.parametrize(
    "name", ["http://example.org/a.mp4", "concat:a.mp4|b.mp4", "subfile,,start,0,end,9,,:a.mp4"]
)
def test_protocol_names_are_refused(name: str) -> None:
    refuse(name, "an address or a protocol")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.m3u8", "#EXTM3U\n#EXTINF:1,\n{film}\n"),
        ("hidden.mp4", "#EXTM3U\n#EXT-X-VERSION:3\n#EXTINF:1,\n{film}\n#EXT-X-ENDLIST\n"),
        ("hidden.mkv", "\ufeff\n#EXTM3U\n#EXTINF:1,\n{film}\n"),
        ("cat.txt", "ffconcat version 1.0\nfile '{film}'\n"),
        ("dash.mp4", '<?xml version="1.0"?>\n<MPD type="static"><BaseURL>{film}</BaseURL></MPD>'),
        ("call.sdp", "v=0\no=- 0 0 IN IP4 127.0.0.1\nm=video 5004 RTP/AVP 96\n"),
        ("album.m3u", "{film}\n"),
    ],
)
def test_lists_of_other_files_are_refused(
    film: Path, tmp_path: Path, name: str, content: str
) -> None:
    (tmp_path / name).write_text(content.format(film=film))
    refuse(tmp_path / name, "playlist or manifest")


def test_the_demuxer_list_refuses_what_the_first_look_misses(film: Path, tmp_path: Path) -> None:
    # a concat script without its signature is only found by FFmpeg's own look at the suffix
    (tmp_path / "cat.ffcat").write_text(f"file '{film}'\n")
    refuse(tmp_path / "cat.ffcat", "cannot be opened|not a video or audio file")
    image = av.VideoFrame.from_ndarray(np.zeros((16, 16, 3), np.uint8), format="rgb24")
    encoder = av.CodecContext.create("png", "w")
    encoder.width = encoder.height = 16
    encoder.pix_fmt, encoder.time_base = "rgb24", Fraction(1, 25)
    (tmp_path / "frame-001.png").write_bytes(bytes(encoder.encode(image)[0]))
    refuse(tmp_path / "frame-001.png", "not of a format that Segue reads")


def test_text_is_not_media(tmp_path: Path) -> None:
    (tmp_path / "notes.mp4").write_text("some words " * 100)
    message = refuse(tmp_path / "notes.mp4", "not a video or audio file")
    assert "Give a common format" in message


def test_size_is_as_shown(tmp_path: Path) -> None:
    turned = probe(write_video(tmp_path / "a.mov", [(0.2, "corner")], rotation=90)).video
    assert turned is not None
    assert (turned.width, turned.height, turned.rotation_deg) == (64, 96, 90)
    assert (turned.coded_width, turned.coded_height) == (96, 64)
    wide = write_video(tmp_path / "b.mp4", [(0.2, "red")], pixel_aspect=Fraction(4, 3))
    video = probe(wide).video
    assert video is not None
    assert (video.width, video.height, video.pixel_aspect) == (128, 64, Fraction(4, 3))


def test_rates_starts_timecode_and_tags(tmp_path: Path) -> None:
    rate = Fraction(30000, 1001)
    path = write_video(
        tmp_path / "a.mov",
        [(1, "red")],
        rate=rate,
        audio="tone",
        timecode="01:00:00;00",
        tags={"title": "Dunes"},
    )
    info = probe(path)
    assert info.video is not None
    assert info.audio is not None
    assert info.video.rate == rate
    assert info.duration_s == 30 / rate
    assert info.video.start_timecode == "01:00:00;00"
    assert info.tags["title"] == "Dunes"
    assert (info.audio.rate_hz, info.audio.channels) == (48_000, 2)
    late = probe(write_video(tmp_path / "b.mp4", [(1, "red")], start_s=2, audio="tone"))
    assert late.video is not None
    assert late.video.start_s == 2
    assert late.duration_s == 1


def test_variable_frame_rate_ends_where_the_last_frame_ends(tmp_path: Path) -> None:
    times = [Fraction(0), Fraction(1, 30), Fraction(1), Fraction(5, 2)]
    path = write_video(tmp_path / "v.mp4", [(1, "still")], times_s=times, rate=30)
    assert probe(path).duration_s == pytest.approx(Fraction(5, 2) + Fraction(1, 30), abs=0.05)


def test_duration_without_a_header(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "w.mkv", [(40, "red")], rate=5, size=(32, 32))
    with (tmp_path / "piped.mkv").open("wb") as raw:  # a pipe cannot seek back to the header
        stream = type("Pipe", (), {"write": raw.write, "flush": raw.flush})()
        with av.open(stream, "w", format="matroska") as out, av.open(str(whole)) as source:
            copy = out.add_stream_from_template(source.streams.video[0])
            for packet in source.demux(video=0):
                if packet.size:
                    packet.stream = copy
                    out.mux(packet)
    info = probe(tmp_path / "piped.mkv")
    assert info.container_duration_s is None
    assert info.duration_s == probe(whole).duration_s == 40


def test_long_files_are_read_only_at_their_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_video(
        tmp_path / "long.mp4", [(120, "red")], rate=5, size=(32, 32), audio="silence"
    )
    info = probe(path)
    assert info.duration_s == 120
    assert info.audio is not None
    assert info.audio.duration_s == pytest.approx(120, abs=0.05)
    monkeypatch.setattr("segue.media.source._TAIL_S", 1000)  # now everything is read
    assert probe(path) == info


def test_truncated_file_tells_its_true_length(tmp_path: Path) -> None:
    path = write_video(tmp_path / "t.mkv", [(4, "noise")])
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    info = probe(path)
    assert info.container_duration_s == 4
    assert 1 < info.duration_s < 3


def test_cover_art_is_not_a_picture(tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    encoder = av.CodecContext.create("mjpeg", "w")
    encoder.width = encoder.height = 32
    encoder.pix_fmt, encoder.time_base = "yuvj420p", Fraction(1, 25)
    cover = encoder.encode(av.VideoFrame(32, 32, "yuvj420p"))[0]
    with av.open(str(path), "w") as container:
        sound = container.add_stream("mp3", rate=48_000, layout="stereo")
        silence = av.AudioFrame.from_ndarray(np.zeros((2, 4800), np.float32), "fltp", "stereo")
        silence.sample_rate = 48_000
        container.mux(sound.encode(silence))
        container.mux(sound.encode(None))
    path.write_bytes(_id3_cover(bytes(cover)) + path.read_bytes())
    with av.open(str(path)) as container:
        assert len(container.streams.video) == 1, "the cover is there"
    info = probe(path)
    assert info.video is None
    assert info.audio is not None


def _id3_cover(jpeg: bytes) -> bytes:
    """Return an ID3v2.3 tag that holds one front cover."""
    body = b"\0image/jpeg\0\x03\0" + jpeg
    frame = b"APIC" + len(body).to_bytes(4, "big") + b"\0\0" + body
    size = bytes(len(frame) >> shift & 0x7F for shift in (21, 14, 7, 0))
    return b"ID3\x03\0\0" + size + frame


def test_sound_alone(tmp_path: Path) -> None:
    info = probe(write_sound(tmp_path / "a.wav", 1.5))
    assert info.video is None
    assert info.duration_s == Fraction(3, 2)


def test_any_exception_inside_decoding_becomes_a_media_error() -> None:
    for error in (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), AttributeError("x"), KeyError):
        with pytest.raises(MediaError, match=r"film\.mp4: cannot decode it"), decoding("film.mp4"):
            raise error
    with pytest.raises(MediaError, match="mine"), decoding("film.mp4"):
        raise MediaError("mine")


def test_damaged_files_end_in_frames_or_one_media_error(tmp_path: Path) -> None:
    whole = write_video(tmp_path / "w.mp4", [(1, "still"), (1, "noise")], audio="tone").read_bytes()
    rng = np.random.default_rng(5)
    decoded = refused = damaged = 0
    for trial in range(24):
        data = bytearray(whole)
        kind = trial % 4
        if kind == 0:
            del data[int(rng.integers(64, len(data))) :]
        elif kind == 1:
            for place in rng.integers(0, len(data), 40):
                data[place] = int(rng.integers(256))
        elif kind == 2:
            place = int(rng.integers(0, len(data) - 4096))
            data[place : place + 4096] = bytes(4096)
        else:
            for place in rng.integers(len(data) - 1500, len(data), 10):  # the index at the end
                data[place] = int(rng.integers(256))
        path = tmp_path / f"{trial}.mp4"
        path.write_bytes(data)
        faults = Faults()
        try:
            probe(path)
            with open_media(path) as container:
                stream = picture_stream(container)
                n = sum(1 for _ in decode(container, stream, faults)) if stream else 0
        except MediaError:
            refused += 1
        else:
            decoded += n > 0
            damaged += faults.errors > 0
    assert decoded >= 5
    assert refused >= 3
    assert damaged >= 3
