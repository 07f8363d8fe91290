"""SyNCRec (SIGIR 2024): single- and cross-domain sequences trained together by shared experts."""
