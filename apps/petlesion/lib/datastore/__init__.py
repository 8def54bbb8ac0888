"""Cases and labels of the annotation server.

`labels` (what annotators submitted), `cases` (images as `petlesion.study.PetCt`) and `stores` (both, as the server was
told to open them) know nothing of MONAI Label: training runs in processes of its own and opens them there.
"""
