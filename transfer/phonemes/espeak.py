"""The espeak-ng library: which voices it has, and what it says a text sounds like.

It comes as the wheel `espeakng-loader`, GPL-3.0, which nothing else here needs: it is asked for by
name (`pip install 'panglot[phonemes]'`) and loaded when first used. The calls are those of its
`speak_lib.h`. The library holds one voice per process, so that all calls go through one lock.
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from common.errors import PanglotError

SEPARATOR = "_"
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_DO_NOT_EXIT = 0x8000
_UTF8 = 1
_IPA = 0x02
_RATE, _PITCH = 1, 3
_RECEIVER = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)
_SEPARATED = ord(SEPARATOR) << 8
_N_VOICES_MOST = 10_000
_ARTIFICIAL = "art/"
_UNUSABLE = {"gmq/fo", "sit/my", "tai/th", "trk/kaa"}
"""Of espeakng-loader 0.2.4: Faroese and Karakalpak have no dictionary, Thai has rules for few
words, and some Burmese texts end the process by a buffer overflow."""


class PhonemesUnavailable(PanglotError):
    """What turns text into phonemes is not installed."""


@dataclass(frozen=True)
class Voice:
    """One of the library's, for one of the languages that it may read.

    Attributes:
        name: file that the library knows it by, such as `sit/cmn`.
        tag: BCP-47 tag of the language, in lower case.
        rank: lower is meant more for this language than others are.
    """

    name: str
    tag: str
    rank: int

    @property
    def base(self) -> str:
        """The language whose rules it follows: `cmn` for a voice that reads `zh`."""
        return self.name.rpartition("/")[2].partition("-")[0]


class Espeak:
    """The loaded library."""

    def __init__(self, library: ctypes.CDLL, data: str) -> None:
        self._library = library
        self._lock = threading.Lock()
        self._voice = ""
        library.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_Voice))
        library.espeak_TextToPhonemes.restype = ctypes.c_char_p
        library.espeak_TextToPhonemes.argtypes = [
            ctypes.POINTER(ctypes.c_void_p),
            ctypes.c_int,
            ctypes.c_int,
        ]
        options = (_AUDIO_OUTPUT_SYNCHRONOUS, 0, data.encode(), _DO_NOT_EXIT)
        self.rate_hz = library.espeak_Initialize(*options)
        if self.rate_hz <= 0:
            raise PhonemesUnavailable(
                "espeak-ng does not start: its data are missing or damaged; "
                "pip install --force-reinstall espeakng-loader"
            )

    def voices(self) -> list[Voice]:
        """Those of spoken languages that can be used, a voice once for each that it reads."""
        found = []
        with self._lock:
            listed = self._library.espeak_ListVoices(None)
            for index in range(_N_VOICES_MOST):
                if not listed[index]:
                    break
                voice = listed[index].contents
                name = voice.identifier.decode()
                if name.startswith(_ARTIFICIAL) or name in _UNUSABLE:
                    continue
                found += [Voice(name, tag, rank) for rank, tag in _languages(voice.languages)]
        return found

    def phonemes(self, text: str, voice: str, *, ipa: bool = True) -> str:
        """What the text sounds like, in the library's own notation.

        Args:
            text: any; what stands behind a zero byte is not read.
            voice: `Voice.name`.
            ipa: in the International Phonetic Alphabet, else in the library's mnemonics.

        Returns:
            Phonemes with `SEPARATOR` between them, words with a space.
        """
        buffer = ctypes.create_string_buffer(text.encode())
        rest = ctypes.c_void_p(ctypes.addressof(buffer))
        mode = _SEPARATED | (_IPA if ipa else 0)
        clauses = []
        with self._lock:
            self._choose(voice)
            while rest.value:  # a call reads up to the next full stop or comma
                clause = self._library.espeak_TextToPhonemes(ctypes.byref(rest), _UTF8, mode)
                clauses.append((clause or b"").decode())
        return " ".join(clauses)

    def speech(self, text: str, voice: str, *, words_per_minute: int, pitch: int) -> bytes:
        """The text read aloud: mono, signed 16 bits, at `rate_hz`.

        Args:
            text: any; what stands behind a zero byte is not read.
            voice: `Voice.name`, and `+` with the name of a speaker where wanted: `aav/vi+f2`.
            words_per_minute: 80 to 450.
            pitch: 0 to 99.
        """
        said: list[bytes] = []

        def receive(samples: int | None, count: int, _: int | None) -> int:
            if samples and count:
                said.append(ctypes.string_at(samples, 2 * count))
            return 0  # go on

        content = text.encode() + b"\0"
        receiver = _RECEIVER(receive)
        with self._lock:
            self._choose(voice)
            self._library.espeak_SetSynthCallback(receiver)
            self._library.espeak_SetParameter(_RATE, words_per_minute, 0)
            self._library.espeak_SetParameter(_PITCH, pitch, 0)
            self._library.espeak_Synth(content, len(content), 0, 1, 0, _UTF8, None, None)
            self._library.espeak_Synchronize()
        return b"".join(said)

    def _choose(self, voice: str) -> None:
        if voice == self._voice:
            return
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise PhonemesUnavailable(
                f"espeak-ng cannot load its voice {voice}: its data are damaged; "
                "pip install --force-reinstall espeakng-loader"
            )
        self._voice = voice


@cache
def espeak() -> Espeak:
    """The library, loaded once per process.

    Raises:
        PhonemesUnavailable: it is not installed, or does not start.
    """
    try:
        import espeakng_loader  # noqa: PLC0415 an extra that most need not have

        library = ctypes.CDLL(espeakng_loader.get_library_path())
        data = espeakng_loader.get_data_path()
    except (ImportError, OSError, RuntimeError) as error:
        raise PhonemesUnavailable(
            "phonemes need espeak-ng, which is not installed: pip install 'panglot[phonemes]'"
        ) from error
    return Espeak(library, data)


class _Voice(ctypes.Structure):
    """`espeak_VOICE`."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("reserved", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )


def _languages(address: int) -> Iterator[tuple[int, str]]:
    """Ranks and tags: a byte and a string that a zero ends, until the byte is zero."""
    while rank := ctypes.string_at(address, 1)[0]:
        tag = ctypes.string_at(address + 1)
        yield rank, tag.decode()
        address += len(tag) + 2
