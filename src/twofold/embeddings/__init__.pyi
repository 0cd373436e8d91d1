from .encode import embed_items as embed_items
from .items import Items as Items
from .items import Part as Part
from .read import Embeddings as Embeddings
from .read import read_embeddings as read_embeddings
from .write import write_embeddings as write_embeddings
