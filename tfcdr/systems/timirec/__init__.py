"""TiMiRec (CIKM 2022): several interests per user, weighted by what distillation taught."""
