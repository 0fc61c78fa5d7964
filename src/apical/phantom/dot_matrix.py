"""Capitals of five by seven dots, as old terminals show them."""

import numpy as np
from numpy.typing import NDArray

# Five columns of dots for each letter, as bytes; the lowest bit is the highest dot, the last below the foot.
_COLUMNS = {
    "%": "2313086462", "'": "0008070300", "(": "001c224100", ")": "0041221c00", "*": "2a1c7f1c2a",
    "+": "08083e0808", ",": "0080703000", "-": "0808080808", ".": "0060600000", "/": "2010080402",
    "0": "3e5149453e", "1": "00427f4000", "2": "4261514946", "3": "2141454b31", "4": "1814127f10",
    "5": "2745454539", "6": "3c4a494930", "7": "0171090503", "8": "3649494936", "9": "064949291e",
    ":": "0036360000", "=": "1414141414", "_": "4040404040",
    "A": "7e1111117e", "B": "7f49494936", "C": "3e41414122", "D": "7f4141221c", "E": "7f49494941",
    "F": "7f09090901", "G": "3e4149497a", "H": "7f0808087f", "I": "00417f4100", "J": "2040413f01",
    "K": "7f08142241", "L": "7f40404040", "M": "7f020c027f", "N": "7f0408107f", "O": "3e4141413e",
    "P": "7f09090906", "Q": "3e4151215e", "R": "7f09192946", "S": "4649494931", "T": "01017f0101",
    "U": "3f4040403f", "V": "1f2040201f", "W": "3f4038403f", "X": "6314081463", "Y": "0708700807",
    "Z": "6151494543",
}  # fmt: skip


def dots(text: str) -> NDArray[np.uint8]:
    """Dots of a line of text, uint8 [8, 6 * letters], 0 or 1; a letter that there is not is a blank."""
    columns = bytes.fromhex("".join(_COLUMNS.get(letter, "00" * 5) + "00" for letter in text))
    return np.unpackbits(np.frombuffer(columns, np.uint8)[None], axis=0, bitorder="little").reshape(
        8, len(columns)
    )
