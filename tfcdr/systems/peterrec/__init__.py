"""PeterRec (SIGIR 2020): a dilated CNN pre-trained on source sequences, adapted to a target."""
