"""A folder of small DICOM files of the phantom's form, with a catalogue that is made by hand."""

import numpy as np
import polars as pl
import pydicom

from apical.catalogue import conform
from apical.ingest.pseudonyms import clip_id_of_uid
from apical.phantom.dicom_file import Header, write_dicom
from apical.phantom.machine import machine
from apical.phantom.screen import lay_out


def small_clips(folder, count):
    """The catalogue of so many clips of patients of their own, without labels; files lie in `folder`."""
    look = machine(0)
    screen = lay_out(look, 60, depth_mm=150)
    blank = np.zeros((2, screen.rows, screen.columns, 3), np.uint8)
    rows = []
    for number in range(count):
        path = folder / f"IM{number}.dcm"
        header = Header(f"PHANTOM-{number}", f"Doe^Nr{number}", "0/1", "20200101", "080045", number, 72, 33.3)
        write_dicom(path, blank, header, look, screen)
        clip = clip_id_of_uid(pydicom.dcmread(path).SOPInstanceUID)
        rows.append({"clip": clip, "path": str(path), "patient": f"p{number}"})
    return conform(pl.DataFrame(rows))
