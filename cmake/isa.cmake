# One instruction set per translation unit, chosen by the file's suffix:
# gemm_i8_avx512vnni.c is compiled for AVX-512 VNNI and nothing newer.
# Each level is the one of the same name in base/cpu.h: what is checked at run
# time before a function of such a file may be called. A flag too many here is
# an illegal instruction on somebody's machine.

set(QN_ISA_avx2 -mavx2 -mfma -mf16c -mbmi2)
set(QN_ISA_avxvnni ${QN_ISA_avx2} -mavxvnni)
set(QN_ISA_avx512 ${QN_ISA_avx2}
  -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx512cd)
set(QN_ISA_avx512vnni ${QN_ISA_avx512} -mavx512vnni)
set(QN_ISA_avx512bf16 ${QN_ISA_avx512vnni} -mavx512bf16)
set(QN_ISA_amx ${QN_ISA_avx512bf16} -mamx-tile -mamx-int8 -mamx-bf16)
# aarch64: what the first ARMv8 has needs no flag.
set(QN_ISA_neon "")
set(QN_ISA_dotprod -march=armv8.2-a+dotprod)
set(QN_ISA_i8mm -march=armv8.2-a+dotprod+i8mm)
set(QN_ISA_bf16 -march=armv8.2-a+dotprod+i8mm+bf16)

# A copy of a loop's condition before it makes gcc copy every sum from register to
# register in the loop, and some to the stack: 4,706 copies for 16,710 products in
# coded_i8_avx512vnni.c, 1,167 for 10,926 without.
if(CMAKE_C_COMPILER_ID STREQUAL "GNU")
  set(QN_ISA_TUNE -fno-tree-ch)
endif()

function(qn_isa_flags)
  foreach(file IN LISTS ARGN)
    string(REGEX REPLACE "^.*_([a-z0-9]+)\\.c$" "\\1" isa ${file})
    if(NOT DEFINED QN_ISA_${isa})
      message(FATAL_ERROR
        "${file}: no instruction set suffix that cmake/isa.cmake knows")
    endif()
    set_property(SOURCE ${file} APPEND PROPERTY
      COMPILE_OPTIONS ${QN_ISA_${isa}} ${QN_ISA_TUNE})
  endforeach()
endfunction()
