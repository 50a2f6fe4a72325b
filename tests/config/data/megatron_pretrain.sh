#!/bin/bash
GPUS_PER_NODE=8
NNODES=4
TP=4
PP=2
WORLD_SIZE=$(($GPUS_PER_NODE*$NNODES))
GPT_MODEL_ARGS=(
    --num-layers 32
    --hidden-size 4096
    --num-attention-heads 32
    --group-query-attention
    --num-query-groups 8
    --ffn-hidden-size 14336
    --seq-length 8192
    --max-position-embeddings 8192
    --position-embedding-type rope
    --swiglu
    --normalization RMSNorm
    --disable-bias-linear
    --untie-embeddings-and-output-weights
    --attention-dropout 0.0
)
TRAINING_ARGS="--micro-batch-size 1 --global-batch-size ${GBS:-128} --bf16 --train-iters 100 --clip-grad 1.0 --lr 6.0e-5 --tokenizer-type HuggingFaceTokenizer --vocab-size 128256"
MODEL_PARALLEL_ARGS=(
	--tensor-model-parallel-size ${TP}
	--pipeline-model-parallel-size $PP
	--sequence-parallel
	--use-distributed-optimizer
    --frobnicate 3
)
torchrun --nproc_per_node ${GPUS_PER_NODE} --nnodes $NNODES pretrain_gpt.py ${GPT_MODEL_ARGS[@]} $TRAINING_ARGS ${MODEL_PARALLEL_ARGS[@]}
