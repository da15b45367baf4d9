"""Writes small DICOM films for the tests."""

import numpy as np
import pydicom
from pydicom.uid import ExplicitVRLittleEndian

RAMP_HxW = np.linspace(0, 255, 30 * 40).reshape(30, 40).astype(np.uint8)
# Of 12 bits, and as it is shown.
DEEP_HxW = np.linspace(0, 4095, 30 * 40).reshape(30, 40).astype(np.uint16)
DEEP_SHOWN_HxW = np.rint(DEEP_HxW / 4095 * 255)


def write_dicom(path, pixels, *, bits=None, syntax=None, data=None, **tags):
  """A DICOM file without compression, unless `syntax` and `data` are given."""
  dicom = pydicom.Dataset()
  dicom.SOPClassUID = '1.2.840.10008.5.1.4.1.1.1.1'
  dicom.SOPInstanceUID = pydicom.uid.generate_uid()
  dicom.Rows, dicom.Columns = pixels.shape[:2]
  dicom.SamplesPerPixel = 1 if pixels.ndim == 2 else 3
  dicom.PhotometricInterpretation = 'MONOCHROME2'
  dicom.BitsAllocated = 8 * pixels.itemsize
  dicom.BitsStored = bits or dicom.BitsAllocated
  dicom.HighBit = dicom.BitsStored - 1
  dicom.PixelRepresentation = int(pixels.dtype.kind == 'i')
  vr = 'OB' if pixels.itemsize == 1 or data else 'OW'
  dicom.add_new('PixelData', vr, data or pixels.tobytes())
  for name, value in tags.items():
    setattr(dicom, name, value)
  dicom.file_meta = pydicom.dataset.FileMetaDataset()
  dicom.file_meta.TransferSyntaxUID = syntax or ExplicitVRLittleEndian
  dicom.save_as(path, enforce_file_format=True)
  return path
