"""Reports that leave the house: the campaign report as files and as e-mail, now or on a schedule."""
