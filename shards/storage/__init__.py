"""Where bytes lie: folders and S3, behind one small interface, and who may write there."""
