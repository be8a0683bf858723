"""Downloads of photographs: Kaggle and Oxford-IIIT Pet."""
