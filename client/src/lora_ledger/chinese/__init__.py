"""What the client says to people, in Chinese: English sentence → Chinese sentence, with the same {fields}.

`core/language.py` reads it where the locale is Chinese. A field that is only an English ending (`s`, `s2`, `be`) may be
missing in the Chinese sentence.
"""

from . import boxes, core, imports, reading, recording, runs, setup, trainers

SENTENCES = {
    **core.SENTENCES,
    **setup.SENTENCES,
    **recording.SENTENCES,
    **imports.SENTENCES,
    **runs.SENTENCES,
    **boxes.SENTENCES,
    **trainers.SENTENCES,
    **reading.SENTENCES,
}
SYSTEM = core.SYSTEM
