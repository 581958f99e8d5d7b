"""Strangers' arrays: read as NumPy would, or refused with what is wrong."""

from __future__ import annotations

import contextlib
import io
import pickle
import zipfile

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from beam_recap.clusters import arrays
from beam_recap.clusters.arrays import ArrayError, array_bytes, read_array, read_npz


def saved(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize("dtype", ["<f2", "<f4", "<f8", ">f4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_arrays_come_back_as_numpy_reads_them(dtype: str, order: str) -> None:
    array = np.asarray(np.arange(12).reshape(3, 4), dtype=dtype, order=order)
    found = read_array(io.BytesIO(saved(array)))
    assert np.array_equal(found, array) and found.flags.c_contiguous


def test_the_same_numbers_give_the_same_bytes() -> None:
    array = np.arange(6, dtype=np.float32).reshape(2, 3)
    variants = [array, np.asfortranarray(array), array.astype(">f4"), np.repeat(array, 2, axis=1)[:, ::2]]
    assert {array_bytes(variant) for variant in variants} == {saved(array)}


@pytest.mark.parametrize(
    ("data", "problem"),
    [
        (b"", "is no .npy file of numbers"),
        (b"\x93NUMPY\x01\x00", "is no .npy file of numbers"),
        (b"\x93NUMPY\x09\x00" + bytes(100), "is no .npy file of numbers"),
        (pickle.dumps([1, 2]), "is no .npy file of numbers"),
        (saved(np.array([1, 2])), "holds int64 and not"),
        (saved(np.array(["a"])), "holds <U1 and not"),
        (saved(np.array([1 + 2j])), "holds complex128 and not"),
        (saved(np.array([(1.0,)], [("x", "f4")])), "and not floating-point numbers"),
        (saved(np.arange(4.0))[:-3], "ends 3 bytes before its last number"),
        (saved(np.array([1.0, np.nan])), "not finite"),
        (saved(np.array([1.0, -np.inf])), "not finite"),
        (saved(np.zeros(3)).replace(b"(3,)", b"(-3,)").replace(b"}  ", b"} "), "is no .npy|impossible shape"),
        (saved(np.zeros((1, 1))).replace(b"(1, 1), }" + b" " * 10, b"(99999999999, 1), }"), "more than 4 GiB"),
    ],
)
def test_what_is_no_array(data: bytes, problem: str) -> None:
    with pytest.raises(ArrayError, match=problem):
        read_array(io.BytesIO(data))


def test_nothing_is_unpickled() -> None:
    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return (pytest.fail, ("unpickled",))

    file = io.BytesIO()
    np.save(file, np.array([Bomb()], dtype=object), allow_pickle=True)
    with pytest.raises(ArrayError, match="holds object"):
        read_array(io.BytesIO(file.getvalue()))
    archive = io.BytesIO()
    np.savez(archive, mean_=np.array([Bomb()], dtype=object))
    with pytest.raises(ArrayError, match="in its array mean_ holds object"):
        read_npz(io.BytesIO(archive.getvalue()), ("mean_",))


@given(st.binary(max_size=200), st.integers(0, 127))
def test_any_bytes_are_an_array_or_an_array_error(noise: bytes, at: int) -> None:
    good = saved(np.arange(3.0))
    for data in (noise, good[:at] + noise + good[at + len(noise) :]):
        with contextlib.suppress(ArrayError):
            assert np.isfinite(read_array(io.BytesIO(data))).all()


def test_archives(monkeypatch: pytest.MonkeyPatch) -> None:
    mean, components = np.arange(3.0), np.ones((2, 3), np.float32)
    for save in (np.savez, np.savez_compressed):
        file = io.BytesIO()
        save(file, mean_=mean, components_=components)
        found = read_npz(io.BytesIO(file.getvalue()), ("mean_", "components_"))
        assert np.array_equal(found[0], mean) and np.array_equal(found[1], components)
    with pytest.raises(ArrayError, match="no array var_"):
        read_npz(io.BytesIO(file.getvalue()), ("var_",))
    for broken in (b"", file.getvalue()[:-30], b"PK\x03\x04" + bytes(50)):
        with pytest.raises(ArrayError, match=r"is no readable \.npz archive"):
            read_npz(io.BytesIO(broken), ("mean_",))
    bomb = io.BytesIO()
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("mean_.npy", saved(np.zeros(1_000_000)))
    monkeypatch.setattr(arrays, "MAX_ARRAY_BYTES", 1 << 20)
    with pytest.raises(ArrayError, match="in its array mean_ has the shape"):
        read_npz(io.BytesIO(bomb.getvalue()), ("mean_",))
