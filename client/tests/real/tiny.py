"""Tiny models with random weights, made on the spot: nothing is downloaded."""

import random

WORDS = ["<pad>", "<s>", "</s>", "<unk>", *(f"w{n}" for n in range(60))]


def language_model():
    """A Llama of two layers and 64 tokens."""
    from transformers import LlamaConfig, LlamaForCausalLM

    sizes = dict(hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2)
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=len(WORDS),
            num_key_value_heads=2,
            max_position_embeddings=256,
            pad_token_id=0,
            bos_token_id=1,
            eos_token_id=2,
            **sizes,
        )
    )


def save_with_tokenizer(folder):
    """The model and a tokenizer of whole words, as a folder that `from_pretrained` reads."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate(WORDS)}, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<s>", eos_token="</s>", unk_token="<unk>"
    ).save_pretrained(folder)
    language_model().save_pretrained(folder)


def rows(count, length=12, seed=1):
    """Rows of random tokens."""
    chance = random.Random(seed)
    return [[chance.randrange(4, len(WORDS)) for _ in range(length)] for _ in range(count)]
