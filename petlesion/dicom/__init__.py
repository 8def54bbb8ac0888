"""All that knows a DICOM tag: reading series, SUV, and writing SEG, SR and RTSTRUCT."""
