"""Hugging Face Transformers: `generate` over a cache that appends in place."""

import torch
from transformers import LlamaConfig, LlamaForCausalLM

import kvspan
from kvspan.transformers import KvspanCache

config = LlamaConfig(
    hidden_size=256,
    intermediate_size=512,
    num_hidden_layers=2,
    num_attention_heads=8,
    num_key_value_heads=4,
    vocab_size=1000,
)
torch.manual_seed(0)
model = LlamaForCausalLM(config).eval()  # random weights; any Llama-architecture model will do
prompt = torch.tensor([[1, 2, 3, 4, 5]])
options = dict(max_new_tokens=20, do_sample=False, pad_token_id=0)

with kvspan.connect(name="generate") as session:
    with KvspanCache(session, model.config) as past:
        tokens = model.generate(prompt, past_key_values=past, **options)
print(f"the same tokens as with the default cache: {torch.equal(tokens, model.generate(prompt, **options))}")
