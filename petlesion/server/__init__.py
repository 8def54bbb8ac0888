"""What `petlesion serve` starts and stops: the annotation server, and an Orthanc for who has no DICOMweb server."""
