"""Speak a text with espeak-ng (the one inside ``espeakng_loader``) and tell where words start.

``python say.py OUT.wav VOICE WORDS_PER_MINUTE TEXT`` prints a JSON object: number of the word →
seconds. The synthesiser says some short words in one go (such·a); the second one is left out.
A program of its own because the library keeps state: only the first thing it says in a process
is the same every time.
"""

from __future__ import annotations

import ctypes
import json
import sys
import wave

import espeakng_loader


class _Id(ctypes.Union):
    _fields_ = (("number", ctypes.c_int), ("name", ctypes.c_char_p), ("string", ctypes.c_char * 8))


class Event(ctypes.Structure):
    """``espeak_EVENT`` of ``speak_lib.h``; audio positions in milliseconds, text ones from 1."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", _Id),
    )


CALLBACK = ctypes.CFUNCTYPE(
    ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.POINTER(Event)
)
LIST_TERMINATED, WORD = 0, 1
AUDIO_OUTPUT_SYNCHRONOUS, POS_CHARACTER, CHARS_UTF8, RATE = 2, 1, 1, 1


def say(path: str, voice: str, words_per_minute: int, text: str) -> dict[int, float]:
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    data_path = espeakng_loader.get_data_path().encode()
    sample_rate = library.espeak_Initialize(AUDIO_OUTPUT_SYNCHRONOUS, 0, data_path, 0)
    assert sample_rate > 0
    pcm = bytearray()
    onsets: dict[int, float] = {}

    def take(samples, count: int, events) -> int:
        if samples and count:
            pcm.extend(ctypes.string_at(samples, count * 2))
        i = 0
        while events[i].type != LIST_TERMINATED:
            if events[i].type == WORD:
                number = len(text[: events[i].text_position - 1].split())
                onsets[number] = events[i].audio_position / 1000
            i += 1
        return 0

    callback = CALLBACK(take)
    library.espeak_SetSynthCallback(callback)
    assert library.espeak_SetVoiceByName(voice.encode()) == 0
    assert library.espeak_SetParameter(RATE, words_per_minute, 0) == 0
    data = text.encode()
    spoken = library.espeak_Synth(data, len(data) + 1, 0, POS_CHARACTER, 0, CHARS_UTF8, None, None)
    assert spoken == 0
    with wave.open(path, "wb") as file:
        file.setparams((1, 2, sample_rate, 0, "NONE", ""))
        file.writeframes(bytes(pcm))
    return onsets


if __name__ == "__main__":
    print(json.dumps(say(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])))
